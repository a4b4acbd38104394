package pclntab

import "fmt"

// Function is a function of a program.
type Function struct {
	Name string
	// Begin and End are its range in the program's code, in bytes. Padding belongs to the function before it.
	Begin, End int
}

// Functions returns the functions in a symbols file, in the order of their code.
func Functions(symbols []byte) ([]Function, error) {
	s, err := readSymbols(symbols)
	if err != nil {
		return nil, fmt.Errorf("reading the symbols: %w", err)
	}
	all := make([]Function, len(s.all))
	for i, f := range s.all {
		name, err := s.name(f.number(nameOffset))
		if err != nil {
			return nil, fmt.Errorf("reading the name of function %d: %w", i, err)
		}
		// After the last record, the list has the end of the code.
		all[i] = Function{name, int(f.entry), int(le.Uint32(s.content[s.program.records.begin+8*(i+1):]))}
	}
	return all, nil
}
