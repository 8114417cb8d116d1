"""FlowIR: what every kind of workflow is lowered to; plain frozen data with a JSON codec and a content hash."""
