package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// seal prepares an image whose root file system is at root: its passwd and group move to the seeds, and links to
// the files that writeNames fills take their place. A copy stands behind the links, for build steps that follow: the
// sandbox's own small file system hides it. Twice is once.
func seal(root string) error {
	seeds, names := filepath.Join(root, sandboxPlaces.seeds), filepath.Join(root, sandboxPlaces.names)
	for _, folder := range []string{seeds, names} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	// runc gives a tmpfs the mode of the folder it covers, and the sandbox's user is not known yet.
	if err := os.Chmod(names, 0o777); err != nil {
		return err
	}
	for _, name := range []string{"passwd", "group"} {
		copies := []string{filepath.Join(seeds, name), filepath.Join(names, name)}
		if err := sealFile(filepath.Join(root, "etc", name), copies, filepath.Join(sandboxPlaces.names, name)); err != nil {
			return fmt.Errorf("seal /etc/%s: %w", name, err)
		}
	}
	return nil
}

func sealFile(file string, copies []string, target string) error {
	if now, err := os.Readlink(file); err == nil && now == target {
		return nil
	}
	content, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, copy := range copies {
		if err := os.WriteFile(copy, content, 0o644); err != nil {
			return err
		}
	}
	link := file + ".link"
	_ = os.Remove(link)
	if err := os.Symlink(target, link); err != nil {
		return err
	}
	return os.Rename(link, file)
}
