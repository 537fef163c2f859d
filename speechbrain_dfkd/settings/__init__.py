"""From a command line to the settings of an experiment."""
