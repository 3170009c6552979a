import ComputeCPU

CPUEngine.prepareProcess()
MTL.main(arguments: Array(CommandLine.arguments.dropFirst()))
