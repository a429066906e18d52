package main

import (
	"fmt"
	"path/filepath"
	"strings"
)

// places are the folders of a sandbox; tests put them elsewhere.
type places struct {
	workspace, tmp, output string
	// names is the small file system behind the links /etc/passwd and /etc/group; seeds has the image's own files.
	names, seeds string
	// trust are the files where an image may have the certificates it trusts; the first that is there counts.
	trust []string
}

var sandboxPlaces = places{
	workspace: "/workspace", tmp: "/tmp", output: "/output",
	names: "/run/toolx", seeds: "/usr/share/toolx",
	trust: []string{"/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"},
}

// writable are the folders a task may write to.
func (p places) writable() []string { return []string{p.workspace, p.tmp, p.output} }

// secrets is the folder for secrets that come as files. No task can have it collected: it is not below output.
func (p places) secrets() string { return filepath.Join(p.names, "secrets") }

// resolveCwd is the folder behind cwd, which must lie in a writable place after its links are followed.
func (p places) resolveCwd(cwd string) (string, error) {
	if !filepath.IsAbs(cwd) {
		return "", fmt.Errorf("cwd %q is not an absolute path", cwd)
	}
	real, err := filepath.EvalSymlinks(cwd)
	if err != nil {
		return "", fmt.Errorf("cwd %q: %s", cwd, describe(err))
	}
	for _, place := range p.writable() {
		if real == place || strings.HasPrefix(real, place+"/") {
			return real, nil
		}
	}
	return "", fmt.Errorf("cwd %q is not below %s", cwd, strings.Join(p.writable(), ", "))
}
