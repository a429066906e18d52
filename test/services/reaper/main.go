// The reaper of a test run. It listens on :8080, where the run sends filters, one "label=KEY=VALUE" a line, and keeps its
// connection open. Once no connection has been open for RYUK_RECONNECTION_TIMEOUT (10 s), because the run has ended or was
// killed, everything on the engine that matches one of the filters is removed, and the reaper ends.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// The client marks its reaper, so that it does not remove itself before it has removed the rest.
const ownLabel = "org.testcontainers.ryuk"

// A run that never comes leaves nothing to wait for.
const firstClientTimeout = time.Minute

func main() {
	patience, err := time.ParseDuration(os.Getenv("RYUK_RECONNECTION_TIMEOUT"))
	if err != nil {
		patience = 10 * time.Second
	}
	listener, err := net.Listen("tcp", ":8080")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	// The client waits for this word.
	fmt.Println("Started")
	for filter := range collect(accept(listener), patience) {
		remove(filter)
	}
}

// What a connection tells: its beginning (+1), a filter, its end (-1).
type event struct {
	clients int
	filter  string
}

func accept(listener net.Listener) <-chan event {
	events := make(chan event)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				continue
			}
			go listen(connection, events)
		}
	}()
	return events
}

func listen(connection net.Conn, events chan<- event) {
	defer connection.Close()
	events <- event{clients: 1}
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		filter, isLabel := strings.CutPrefix(strings.TrimSpace(lines.Text()), "label=")
		// A filter without a value would match what others made.
		if key, value, _ := strings.Cut(filter, "="); isLabel && key != "" && value != "" {
			events <- event{filter: filter}
			fmt.Fprintln(connection, "ACK")
		}
	}
	events <- event{clients: -1}
}

// The filters, once every client has gone for good.
func collect(events <-chan event, patience time.Duration) map[string]bool {
	filters := map[string]bool{}
	clients := 0
	quiet := time.NewTimer(firstClientTimeout)
	for {
		select {
		case next := <-events:
			clients += next.clients
			if next.filter != "" {
				filters[next.filter] = true
			}
			quiet.Stop()
			if clients == 0 {
				quiet.Reset(patience)
			}
		case <-quiet.C:
			return filters
		}
	}
}

func remove(filter string) {
	query := url.Values{"filters": {string(must(json.Marshal(map[string][]string{"label": {filter}})))}}
	var containers []struct {
		Id     string
		Labels map[string]string
	}
	engine("GET", "/containers/json?all=1&"+query.Encode(), &containers)
	for _, container := range containers {
		if container.Labels[ownLabel] != "true" {
			engine("DELETE", "/containers/"+container.Id+"?force=1&v=1", nil)
		}
	}
	for _, kind := range []string{"networks", "volumes", "images"} {
		engine("POST", "/"+kind+"/prune?"+query.Encode(), nil)
	}
	fmt.Println("removed what has", filter)
}

var client = http.Client{
	Timeout: time.Minute,
	Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", "/var/run/docker.sock")
	}},
}

// One call; what fails is told, and the rest goes on.
func engine(method, path string, answer any) {
	request := must(http.NewRequest(method, "http://engine"+path, nil))
	response, err := client.Do(request)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode >= 400 {
		fmt.Fprintln(os.Stderr, method, path, response.Status)
		return
	}
	if answer != nil {
		if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
			fmt.Fprintln(os.Stderr, method, path, err)
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
