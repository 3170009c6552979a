MTL.main(arguments: Array(CommandLine.arguments.dropFirst()))
