"""The rules that a flow must keep, over FlowIR: the same for YAML files, class and functional workflows."""
