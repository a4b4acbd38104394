package deploy

import "time"

// Hasten removes the delay before reconnecting to a router.
func Hasten() { pause = time.Duration(0) }

// CheckRemote exports checkRemote.
var CheckRemote = checkRemote
