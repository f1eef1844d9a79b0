// Oracle checks Comity's logs with software that nobody there wrote, writes logs for Comity to check, and decides by
// Comity's policies.
//
//	oracle verify DIR      check the logs that DIR/manifest.json lists; JSON of what was checked
//	oracle write DIR       write logs with Tessera's POSIX driver, and DIR/manifest.json
//	oracle decide FILE     what cedar-go says of the questions to each policy in a JSON file (policy.go)
//	oracle append N DIR    append N entries to a new Tessera log; JSON of how long it took
//
// It exits with 1 if anything was not as it should be, and with 2 if it was called wrongly.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"

	"k8s.io/klog/v2"
)

func main() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	result, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(2)
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(result); err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(2)
	}
	if report, ok := result.(*Report); ok && len(report.Faults) > 0 {
		os.Exit(1)
	}
}

func run(args []string) (any, error) {
	switch {
	case len(args) == 2 && args[0] == "verify":
		return verifyAll(args[1])
	case len(args) == 2 && args[0] == "write":
		return writeAll(args[1])
	case len(args) == 2 && args[0] == "decide":
		return decideAll(args[1])
	case len(args) == 3 && args[0] == "append":
		count, err := strconv.Atoi(args[1])
		if err != nil || count < 1 {
			return nil, fmt.Errorf("«%s» is no number of entries", args[1])
		}
		return measureAppend(count, args[2])
	}
	return nil, fmt.Errorf("say «verify DIR», «write DIR», «decide FILE» or «append N DIR»")
}
