package main

import (
	"context"

	"dagger/mikrotik-tailscale/image/size"
	"dagger/mikrotik-tailscale/internal/dagger"
)

// SizeReport is the size of each part of the images in bytes, as linked and as stored in the image.
type SizeReport struct {
	// +private
	Report string
}

// Measure the size of each part of the images.
func (m *MikrotikTailscale) Sizes(
	ctx context.Context,
	// Platforms to measure. Defaults to all.
	//
	// +optional
	platforms []string,
) (*SizeReport, error) {
	_, products, err := m.products(ctx, platforms)
	if err != nil {
		return nil, err
	}
	report, err := size.Measure(products)
	if err != nil {
		return nil, err
	}
	text, err := report.JSON()
	return &SizeReport{Report: text}, err
}

// Return the report as a table.
func (r *SizeReport) Table() (string, error) {
	report, err := size.Parse(r.Report)
	return report.Table(), err
}

// Return the report as JSON.
func (r *SizeReport) Json() string { return r.Report }

// Return a picture of the sizes.
func (r *SizeReport) Svg() (*dagger.File, error) {
	report, err := size.Parse(r.Report)
	if err != nil {
		return nil, err
	}
	text, err := report.SVG()
	return dag.File("sizes.svg", text), err
}

// Check that no image exceeds its size budget.
//
// The error names the components that grew, and by how many bytes.
//
// +check
func (m *MikrotikTailscale) SizeBudget(ctx context.Context) error {
	_, products, err := m.products(ctx, nil)
	if err != nil {
		return err
	}
	report, err := size.Measure(products)
	if err != nil {
		return err
	}
	budget, err := size.Budget()
	if err != nil {
		return err
	}
	return size.Check(report, budget)
}
