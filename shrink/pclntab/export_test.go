package pclntab

// ShortName returns what Strip keeps of a name.
var ShortName = shortName
