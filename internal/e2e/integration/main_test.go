package integration_test

import (
	"os"
	"testing"

	"github.com/rowseal/rowseal/internal/e2e/dbtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }
