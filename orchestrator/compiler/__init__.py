"""Flow files to FlowIR: names are linked, constructs lowered, findings collected. Pure; runs nothing and reads no clock."""
