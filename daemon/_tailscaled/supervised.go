//go:build supervised

// This file is added to Tailscale's cmd/tailscale/cli. It gives the supervisor in the daemon access to what only
// "tailscale up" knows: its flags, their meaning, and how to get a key for an OAuth client secret.

package cli

import (
	"context"
	"errors"
	"flag"
	"net/netip"

	"tailscale.com/cmd/tailscaled/supervisor"
	"tailscale.com/internal/client/tailscale"
	"tailscale.com/ipn"
	"tailscale.com/ipn/ipnstate"
	"tailscale.com/net/tsaddr"
)

const supervisedOS = "linux"

// Supervised describes this binary's "tailscale up".
func Supervised(features string) supervisor.Release {
	flags := func() *flag.FlagSet { return newUpFlagSet(supervisedOS, new(upArgsT), "up") }
	return supervisor.Release{
		Features: features,
		UpFlags: func() (names []string) {
			flags().VisitAll(func(f *flag.Flag) { names = append(names, f.Name) })
			return names
		},
		UpFlag: func(name string) (boolean, known bool) {
			f := flags().Lookup(name)
			if f == nil {
				return false, false
			}
			b, ok := f.Value.(interface{ IsBoolFlag() bool })
			return ok && b.IsBoolFlag(), true
		},
		CheckUp: func(name, value string) error {
			var args upArgsT
			set := newUpFlagSet(supervisedOS, &args, "up")
			if err := set.Set(name, value); err != nil {
				return errors.New("this Tailscale release doesn't accept it")
			}
			// These are checked later, with the nodes of the tailnet.
			if name == "exit-node" || name == "exit-node-allow-lan-access" {
				return nil
			}
			_, err := prefsFromUpArgs(args, func(string, ...any) {}, &ipnstate.Status{}, supervisedOS)
			return err
		},
	}
}

// SupervisedPrefs returns the edit that changes the daemon's settings to those of the flags. With reset, all other
// settings get the defaults of "tailscale up".
func SupervisedPrefs(flags []supervisor.Flag, reset bool, current *ipn.Prefs, st *ipnstate.Status) (*ipn.MaskedPrefs, error) {
	var args upArgsT
	set := newUpFlagSet(supervisedOS, &args, "up")
	given := map[string]bool{}
	for _, f := range flags {
		if err := set.Set(f.Name, f.Value); err != nil {
			return nil, err
		}
		given[f.Name] = true
	}
	prefs, err := prefsFromUpArgs(args, func(string, ...any) {}, st, supervisedOS)
	if err != nil {
		return nil, err
	}
	mask := &ipn.MaskedPrefs{Prefs: *prefs}
	visit := set.Visit
	if reset {
		visit = set.VisitAll
	}
	visit(func(f *flag.Flag) { updateMaskedPrefsFromUpOrSetFlag(mask, f.Name) })
	// Without a flag, the login server doesn't change.
	mask.ControlURLSet = given["login-server"]
	if !reset {
		// Both flags change the same setting.
		for _, p := range current.AdvertiseRoutes {
			exit := tsaddr.IsExitRoute(p)
			if exit && !given["advertise-exit-node"] || !exit && !given["advertise-routes"] {
				mask.AdvertiseRoutes = append(mask.AdvertiseRoutes, p)
			}
		}
	}
	if mask.ExitNodeIDSet {
		mask.AutoExitNodeSet = true
		keepExitNode(mask, current, st)
	}
	return mask, nil
}

// keepExitNode keeps an exit node in the daemon's own form.
func keepExitNode(mask *ipn.MaskedPrefs, current *ipn.Prefs, st *ipnstate.Status) {
	same := mask.AutoExitNode.IsSet() && mask.AutoExitNode == current.AutoExitNode
	for _, p := range st.Peer {
		for _, a := range p.TailscaleIPs {
			same = same || p.ID == current.ExitNodeID && mask.ExitNodeIP == a && mask.ExitNodeIP != (netip.Addr{})
		}
	}
	if same {
		mask.ExitNodeID, mask.ExitNodeIP = current.ExitNodeID, current.ExitNodeIP
	}
}

// SupervisedKey returns the auth key to log in with.
func SupervisedKey(ctx context.Context, key supervisor.Key, prefs *ipn.Prefs) (auth string, err error) {
	auth = key.Auth
	if f, ok := tailscale.HookResolveAuthKey.GetOk(); ok {
		secret := auth
		if secret == "" {
			secret = key.ClientSecret
		}
		if auth, err = f(ctx, tailscale.ResolveAuthKeyArgs{AuthKey: secret, Tags: prefs.AdvertiseTags}); err != nil {
			return "", err
		}
	}
	if f, ok := tailscale.HookResolveAuthKeyViaWIF.GetOk(); ok && auth == "" && key.ClientID != "" {
		return f(ctx, tailscale.ResolveAuthKeyWIFArgs{
			BaseURL: prefs.ControlURL, ClientID: key.ClientID, IDToken: key.IDToken, Audience: key.Audience, Tags: prefs.AdvertiseTags,
		})
	}
	return auth, nil
}
