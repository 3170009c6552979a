// ComputeReference
