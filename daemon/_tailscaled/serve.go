//go:build supervised && !ts_omit_serve

// This file is added to Tailscale's cmd/tailscaled. It applies the file in TS_SERVE_CONFIG, like the official
// image.

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	"tailscale.com/ipn"
)

func init() {
	hookServeConfig = func(d *daemon, path string) {
		var applied []byte
		lastError := ""
		for ; ; time.Sleep(5 * time.Second) {
			text, err := os.ReadFile(path)
			if err == nil && !bytes.Equal(text, applied) {
				if err = d.serve(text); err == nil {
					applied, lastError = text, ""
				}
			}
			if err != nil && err.Error() != lastError {
				lastError = err.Error()
				logf("can't apply TS_SERVE_CONFIG=%s yet: %v", path, err)
			}
		}
	}
}

// serve applies a configuration, in which ${TS_CERT_DOMAIN} is the router's name in the tailnet.
func (d *daemon) serve(text []byte) error {
	st, err := d.client.StatusWithoutPeers(context.Background())
	if err != nil {
		return err
	}
	domain := ""
	if len(st.CertDomains) > 0 {
		domain = st.CertDomains[0]
	} else if st.Self != nil {
		domain = strings.TrimSuffix(st.Self.DNSName, ".")
	}
	var config ipn.ServeConfig
	if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("${TS_CERT_DOMAIN}"), []byte(domain)), &config); err != nil {
		return err
	}
	return d.client.SetServeConfig(context.Background(), &config)
}
