#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""pod.py FILE DIRECTORY: what podman must be told to make the containers of the pod in FILE; as JSON,
   {CONTAINER: {"options": [...], "image": ..., "command": [...], "probes": {"startupProbe": [...], ...}}, ...}
in the order in which they start.  Volumes are made in DIRECTORY as a kubelet makes them.  What this does not know is an error:
then the pod asks for something that nobody has tried."""
import json
import os
import sys

import yaml

PROPAGATION = {"Bidirectional": "rshared", "HostToContainer": "rslave", "None": "rprivate"}


def only(what, known, where):
    unknown = set(what) - set(known)
    if unknown:
        sys.exit(f"{where}: {', '.join(sorted(unknown))} is new; see what podman has for it")


def security(context, name):
    only(context, ["privileged", "runAsUser", "runAsGroup", "runAsNonRoot", "allowPrivilegeEscalation", "readOnlyRootFilesystem",
                   "capabilities"], name)
    options = ["--user", f"{context['runAsUser']}:{context['runAsGroup']}"] if "runAsUser" in context else []
    if context.get("runAsNonRoot") and not context.get("runAsUser"):
        sys.exit(f"{name}: runAsNonRoot without a number is refused for images that name their user")
    if context.get("privileged"):
        options += ["--privileged"]
    if context.get("allowPrivilegeEscalation") is False:
        options += ["--security-opt=no-new-privileges"]
    if context.get("readOnlyRootFilesystem"):
        options += ["--read-only", "--read-only-tmpfs=false"]
    for capability in context.get("capabilities", {}).get("drop", []):
        options += [f"--cap-drop={capability.lower()}"]
    return options


def volume(spec, directory, group, secrets):
    path = os.path.join(directory, spec["name"])
    if os.path.isdir(path):
        return
    os.mkdir(path)
    if "secret" in spec:  # links to links, so that all change at once
        data = os.path.join(path, "..2026_01_01")
        os.mkdir(data)
        os.symlink("..2026_01_01", os.path.join(path, "..data"))
        for name, text in secrets[spec["secret"]["secretName"]].items():
            with open(os.path.join(data, name), "w", encoding="ascii") as file:
                file.write(text)
            os.chmod(file.name, spec["secret"]["defaultMode"])
            os.chown(file.name, 0, group)
            os.symlink(os.path.join("..data", name), os.path.join(path, name))
        return
    only(spec["emptyDir"], ["medium"], spec["name"])
    os.chown(path, 0, group)
    os.chmod(path, 0o2777)


def container(spec, directory, group):
    name = spec["name"]
    only(spec, ["name", "image", "command", "restartPolicy", "securityContext", "livenessProbe", "startupProbe", "volumeMounts"], name)
    options = [f"--group-add={group}"] + security(spec.get("securityContext", {}), name)
    for mount in spec["volumeMounts"]:
        only(mount, ["name", "mountPath", "mountPropagation", "readOnly"], name)
        how = PROPAGATION[mount.get("mountPropagation", "None")]
        access = "ro" if mount.get("readOnly") else "rw"
        options += ["--volume", f"{os.path.join(directory, mount['name'])}:{mount['mountPath']}:{access},{how}"]
    probes = {kind: probe["exec"]["command"] for kind, probe in spec.items() if kind.endswith("Probe")}
    return {"options": options, "image": spec["image"], "command": spec["command"], "probes": probes}


def main():
    file, directory = sys.argv[1:]
    with open(file, encoding="utf-8") as stream:
        documents = list(yaml.safe_load_all(stream))
    secrets = {doc["metadata"]["name"]: doc["stringData"] for doc in documents if doc["kind"] == "Secret"}
    pod = next(doc["spec"] for doc in documents if doc["kind"] == "Pod")
    only(pod, ["terminationGracePeriodSeconds", "securityContext", "initContainers", "containers", "volumes"], "the pod")
    group = pod["securityContext"]["fsGroup"]
    os.umask(0o022)
    for spec in pod["volumes"]:
        volume(spec, directory, group, secrets)
    specs = pod["initContainers"] + pod["containers"]
    print(json.dumps({spec["name"]: container(spec, directory, group) for spec in specs}))


main()
