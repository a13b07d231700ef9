package cli

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"go.yaml.in/yaml/v3"
)

// TestTerraformAndCloudFormationAlertAlike: HCL's own parser reads the one, and finds in it the rules of the other.
func TestTerraformAndCloudFormationAlertAlike(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	for name, args := range map[string][]string{
		"a key":     {"--key-id", key, "--role", "arn:aws:iam::111122223333:role/app/web", "--email", "ada@example.org"},
		"every key": nil,
	} {
		t.Run(name, func(t *testing.T) {
			print := func(format string) string {
				return newShell(t).rowseal(t, append([]string{"policy", "--alerts", "aws", "--format", format}, args...)...).ok(t)
			}
			tf, cf := readTerraform(t, print("terraform")), readCloudFormation(t, print("cloudformation"))
			if len(tf) < 3 || !reflect.DeepEqual(tf, cf) {
				t.Errorf("Terraform has\n%v, and CloudFormation\n%v", tf, cf)
			}
		})
	}
}

// alertRule is a rule of EventBridge: what it matches, and whether it gets read-only events.
type alertRule struct {
	State   string
	Pattern any
}

func readTerraform(t *testing.T, text string) map[string]alertRule {
	t.Helper()
	file, diagnostics := hclparse.NewParser().ParseHCL([]byte(text), "alerts.tf")
	if diagnostics.HasErrors() {
		t.Fatalf("%v: %s", diagnostics, text)
	}
	body := file.Body.(*hclsyntax.Body)
	declared := map[string]bool{}
	for _, block := range body.Blocks {
		address := strings.Join(block.Labels, ".")
		switch block.Type {
		case "data":
			address = "data." + address
		case "variable":
			address = "var." + address
		}
		if declared[address] {
			t.Errorf("%s is declared twice", address)
		}
		declared[address] = true
	}
	rules := map[string]alertRule{}
	for _, block := range body.Blocks {
		for _, reference := range references(block.Body) {
			if !declared[reference] {
				t.Errorf("%v: %s is nothing", block.Labels, reference)
			}
		}
		if block.Type != "resource" || block.Labels[0] != "aws_cloudwatch_event_rule" {
			continue
		}
		rule := alertRule{State: evaluate(t, block.Body.Attributes["state"])}
		if err := json.Unmarshal([]byte(evaluate(t, block.Body.Attributes["event_pattern"])), &rule.Pattern); err != nil {
			t.Fatal(err)
		}
		rules[block.Labels[1]] = rule
	}
	return rules
}

// references are the addresses that expressions name, without attributes.
func references(body *hclsyntax.Body) []string {
	found := map[string]bool{}
	for _, attribute := range body.Attributes {
		for _, traversal := range attribute.Expr.Variables() {
			parts := []string{traversal.RootName()}
			for _, step := range traversal[1:] {
				if name, ok := step.(hcl.TraverseAttr); ok {
					parts = append(parts, name.Name)
				}
			}
			if len(parts) > 1 && parts[0] != "string" && parts[0] != "number" { // a variable's type
				found[strings.Join(parts[:min(len(parts), map[bool]int{true: 3, false: 2}[parts[0] == "data"])], ".")] = true
			}
		}
	}
	for _, block := range body.Blocks {
		for _, reference := range references(block.Body) {
			found[reference] = true
		}
	}
	return slices.Collect(maps.Keys(found))
}

func evaluate(t *testing.T, attribute *hclsyntax.Attribute) string {
	t.Helper()
	value, diagnostics := attribute.Expr.Value(&hcl.EvalContext{
		Functions: map[string]function.Function{"jsonencode": stdlib.JSONEncodeFunc},
	})
	if diagnostics.HasErrors() || value.Type() != cty.String {
		t.Fatalf("%s: %v", attribute.Name, diagnostics)
	}
	return value.AsString()
}

func readCloudFormation(t *testing.T, text string) map[string]alertRule {
	t.Helper()
	var stack struct {
		Resources map[string]struct {
			Type       string `yaml:"Type"`
			Properties struct {
				State   string `yaml:"State"`
				Pattern any    `yaml:"EventPattern"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal([]byte(text), &stack); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	rules := map[string]alertRule{}
	for id, r := range stack.Resources {
		if r.Type == "AWS::Events::Rule" {
			rules[strings.ToLower(strings.TrimSuffix(id, "Rule"))] = alertRule{State: r.Properties.State, Pattern: r.Properties.Pattern}
		}
	}
	return rules
}
