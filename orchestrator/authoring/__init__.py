"""The ways to write and load a workflow: YAML files, classes, functions. All of them end in FlowIR and one runtime."""
