package e2e

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
)

var (
	leftOutFile = flag.String("left-out", "", "file with a line for each kind of test to skip: a regular expression, a tab, the reason")
	outcomeFile = flag.String("outcome", "", "file to write a line to for each test: its state, a tab, its name, a tab, why")
)

// leftOut is what to skip, and why.
var leftOut []struct {
	tests  *regexp.Regexp
	reason string
}

func readLeftOut() error {
	if *leftOutFile == "" {
		return nil
	}
	text, err := os.ReadFile(*leftOutFile)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		tests, reason, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		expression, err := regexp.Compile(tests)
		if err != nil {
			return err
		}
		leftOut = append(leftOut, struct {
			tests  *regexp.Regexp
			reason string
		}{expression, reason})
	}
	return nil
}

// skipLeftOut is called after the framework has read its flags: it previews the tests then, and what Ginkgo goes on with
// has the containers that were there before, but not what is to be done before each test.
func skipLeftOut() {
	ginkgo.BeforeEach(func() {
		name := ginkgo.CurrentSpecReport().FullText()
		for _, kind := range leftOut {
			if kind.tests.MatchString(name) {
				ginkgo.Skip(kind.reason)
			}
		}
	})
}

// Called once, with the tests of all processes.
var _ = ginkgo.ReportAfterSuite("outcome", func(report ginkgo.Report) {
	if *outcomeFile == "" {
		return
	}
	file, err := os.Create(*outcomeFile)
	if err != nil {
		ginkgo.Fail(err.Error())
	}
	lines := bufio.NewWriter(file)
	for _, test := range report.SpecReports {
		why := strings.Join(strings.Fields(test.Failure.Message), " ")
		// What nobody asked for is skipped, too, and without a reason.
		if test.LeafNodeType != types.NodeTypeIt || test.State.Is(types.SpecStateSkipped) && why == "" {
			continue
		}
		fmt.Fprintf(lines, "%s\t%s\t%s\n", test.State, test.FullText(), why)
	}
	if err := lines.Flush(); err != nil {
		ginkgo.Fail(err.Error())
	}
	if err := file.Close(); err != nil {
		ginkgo.Fail(err.Error())
	}
})
