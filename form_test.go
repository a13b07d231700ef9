package rowseal_test

import (
	"strings"
	"testing"

	"github.com/rowseal/rowseal/kms"
	"github.com/rowseal/rowseal/kms/kmstest"
)

// A later version may seal files in a form that this one must neither take for its own nor call broken.
func TestAFileOfALaterFormIsRefusedByName(t *testing.T) {
	letters := lettersOf(t, &kmstest.Fake{}, &objects{})
	_, row := sentLetter(t, letters, 1, "ada")
	later := strings.Replace(textOfValue(row["Scan"]), `{"key"`, `{"form":"stream1","key"`, 1)
	l := load[letter](t, 1, row.with("Scan", later))
	must(t, letters.Open(t.Context(), l))
	for what, err := range map[string]error{
		"Info": second(l.Scan.Info()), "Open": second(content(t, l.Scan)), "Rekey": letters.Rekey(t.Context(), l),
	} {
		wantErr(t, what, err, kms.ErrInvalidRequest)
		wantPlace(t, err, "letters", "1", "scan_file", 1)
		wantMessage(t, err, `"stream1"`, "later version")
	}
	if v := values(l)["Scan"]; v.v != later || v.err != nil {
		t.Errorf("it is written as %v", v)
	}
	wantContent(t, "the photo", l.Photo, "photo of ada")
}
