package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

const defaultUserName = "sandbox"

var userNamePattern = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

// writeNames fills the files behind /etc/passwd and /etc/group: the image's own entries and one for this sandbox's
// random user, because some programs refuse to run without a name. An image without the small file system for it
// has to do without.
func writeNames(at places, userName string) {
	users, _ := os.ReadFile(filepath.Join(at.seeds, "passwd"))
	groups, _ := os.ReadFile(filepath.Join(at.seeds, "group"))
	if !userNamePattern.MatchString(userName) || hasName(string(users), userName) || hasName(string(groups), userName) {
		userName = defaultUserName
	}
	shell := "/bin/sh"
	if _, err := os.Stat("/bin/bash"); err == nil {
		shell = "/bin/bash"
	}
	user := fmt.Sprintf("%s:x:%d:%d::%s:%s\n", userName, os.Getuid(), os.Getgid(), at.workspace, shell)
	group := fmt.Sprintf("%s:x:%d:\n", userName, os.Getgid())
	replaceFile(filepath.Join(at.names, "passwd"), withLine(users, user))
	replaceFile(filepath.Join(at.names, "group"), withLine(groups, group))
}

func hasName(file, name string) bool {
	return strings.HasPrefix(file, name+":") || strings.Contains(file, "\n"+name+":")
}

func withLine(file []byte, line string) []byte {
	if len(file) > 0 && file[len(file)-1] != '\n' {
		file = append(file, '\n')
	}
	return append(file, line...)
}

// replaceFile leaves the old file where the new one cannot be written.
func replaceFile(path string, content []byte) {
	fresh := path + ".new"
	if err := os.WriteFile(fresh, content, 0o644); err != nil {
		return
	}
	_ = os.Rename(fresh, path)
}
