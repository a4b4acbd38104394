package main

import (
	"context"

	"dagger/mikrotik-tailscale/internal/dagger"
	"dagger/mikrotik-tailscale/size"
)

// SizeReport tells what each part of the images weighs, as it was linked and as it is stored in the
// image, in bytes.
type SizeReport struct {
	// +private
	Report string
}

// Tells what each part of the images weighs.
func (m *MikrotikTailscale) Sizes(
	ctx context.Context,
	// Platforms to weigh, or "all", which is the default.
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

// Gives the report as a table for people.
func (r *SizeReport) Table() (string, error) {
	report, err := size.Parse(r.Report)
	return report.Table(), err
}

// Gives the report as JSON for machines.
func (r *SizeReport) Json() string { return r.Report }

// Draws the sizes in the images as a picture.
func (r *SizeReport) Svg() (*dagger.File, error) {
	report, err := size.Parse(r.Report)
	if err != nil {
		return nil, err
	}
	text, err := report.SVG()
	return dag.File("sizes.svg", text), err
}

// Checks that no image has grown over the budget of this version of the module. Where one has, the
// error tells which of its components grew, and by how many bytes.
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
