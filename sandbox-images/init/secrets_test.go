package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func secretsOf(t *testing.T, secrets ...secretBody) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(secrets)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestSecretsComeAsVariablesAndAsFiles(t *testing.T) {
	h := startHost(t)
	h.attach()
	given := secretsOf(t,
		secretBody{Name: "DB_URL", As: "env", Value: []byte("postgres://a'b\"c")},
		secretBody{Name: "KEY", As: "file", Value: []byte("line 1\nline \xff\x00 2")},
		secretBody{Name: "OTHER", As: "file", Value: []byte("another")},
	)
	h.start(`printf '%s|' "$DB_URL"; stat -c '%a %F' "$TOOL_SECRETS_DIR" "$TOOL_SECRETS_DIR"/*; cat "$TOOL_SECRETS_DIR/KEY"; env | grep -c another`,
		func(s *startBody) { s.Secrets, s.Env["DB_URL"] = given, "what the request says" })
	h.exit()
	want := "postgres://a'b\"c|700 directory\n400 regular file\n400 regular file\nline 1\nline \xff\x00 20\n"
	if got := string(h.bytesOf(frameStdout)); got != want {
		t.Errorf("stdout %q, want %q", got, want)
	}
	h.send(frameCollect, encode(collectBody{MaxBytes: 1000, MaxEntries: 10, MaxDepth: 10}))
	if end := decoded[endBody](t, h.await(frameEnd)); end.Entries != 0 {
		t.Errorf("collected: %+v", end)
	}
	if ready := h.attach(); string(ready.Secrets) != string(given) {
		t.Error("who attaches is not handed back what was given")
	}
	h.over()
}

func TestWithoutSecretsThereIsNoPlaceForThem(t *testing.T) {
	h := startHost(t)
	h.attach()
	h.start(`echo "${TOOL_SECRETS_DIR-none}"`, nil)
	h.exit()
	if got := string(h.bytesOf(frameStdout)); got != "none\n" {
		t.Errorf("stdout %q", got)
	}
	if _, err := os.Stat(filepath.Join(h.places.names, "secrets")); !os.IsNotExist(err) {
		t.Errorf("the folder: %v", err)
	}
	h.over()
}

func TestSecretsThatCannotBeGivenFailTheStartAndAreNotTold(t *testing.T) {
	const value = "hunter2-hunter2"
	tests := []struct{ name, secrets, message string }{
		{"no list", `"hunter2-hunter2"`, "not as the protocol has them"},
		{"no base64", `[{"name":"A","as":"env","value_base64":"hunter2-hunter2"}]`, "not as the protocol has them"},
		{"a path", `[{"name":"../A","as":"file","value_base64":"aHVudGVyMi1odW50ZXIy"}]`, "a name that no variable can have"},
		{"another way", `[{"name":"A","as":"argv","value_base64":"aHVudGVyMi1odW50ZXIy"}]`, "neither env nor file"},
		{"the same file twice", `[{"name":"A","as":"file","value_base64":"aHVudGVyMi1odW50ZXIy"},{"name":"A","as":"file","value_base64":"aHVudGVyMi1odW50ZXIy"}]`, "secret A: "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := startHost(t)
			h.attach()
			h.start("echo no", func(s *startBody) { s.Secrets = json.RawMessage(test.secrets) })
			failed := decoded[failedBody](t, h.await(frameFailed))
			if failed.Stage != "start" || failed.Code != "launch" || !strings.Contains(failed.Message, test.message) {
				t.Errorf("failed: %s %s", failed.Stage, failed.Code)
			}
			if strings.Contains(failed.Message, value) || strings.Contains(failed.Message, "aHVudGVyMi1") {
				t.Error("the message has the value")
			}
			h.over()
		})
	}
}
