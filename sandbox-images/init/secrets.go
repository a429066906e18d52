package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

const secretsVariable = "TOOL_SECRETS_DIR"

var secretNamePattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// secretBody is one of the secrets of `start`.
type secretBody struct {
	Name  string `json:"name"`
	As    string `json:"as"`
	Value []byte `json:"value_base64"`
}

// giveSecrets puts each secret where the task finds it: into its environment, or into a file of folder, which is made for
// the first one. No error says anything of a value.
func giveSecrets(asked *startBody, folder string) error {
	if len(asked.Secrets) == 0 {
		return nil
	}
	var secrets []secretBody
	if json.Unmarshal(asked.Secrets, &secrets) != nil {
		return errors.New("secrets: not as the protocol has them")
	}
	for _, secret := range secrets {
		if !secretNamePattern.MatchString(secret.Name) {
			return errors.New("secrets: a name that no variable can have")
		}
		if asked.Env == nil {
			asked.Env = map[string]string{}
		}
		switch secret.As {
		case "env":
			asked.Env[secret.Name] = string(secret.Value)
		case "file":
			if err := writeSecret(folder, secret); err != nil {
				return fmt.Errorf("secret %s: %s", secret.Name, describe(err))
			}
			asked.Env[secretsVariable] = folder
		default:
			return fmt.Errorf("secret %s: neither env nor file", secret.Name)
		}
	}
	return nil
}

func writeSecret(folder string, secret secretBody) error {
	if err := os.Mkdir(folder, 0o700); err != nil && !os.IsExist(err) {
		return err
	}
	file, err := os.OpenFile(filepath.Join(folder, secret.Name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o400)
	if err != nil {
		return err
	}
	_, err = file.Write(secret.Value)
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}
