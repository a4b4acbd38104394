package supervisor

// Known reports whether the image understands a variable, or says what to do instead.
func Known(name string) bool {
	for _, v := range Variables {
		if v.Name == name {
			return true
		}
	}
	return unsupported[name] != ""
}

// DaemonFlag reports whether a flag of the daemon is accepted, or left out on purpose.
func DaemonFlag(name string) bool {
	for _, f := range daemonFlags {
		if f.name == name {
			return true
		}
	}
	return name == "cleanup" || name == "version"
}
