package pclntab

// ShortName is what Strip leaves of a name.
var ShortName = shortName
