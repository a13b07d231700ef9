package kms

import "testing"

func TestWithoutEchoes(t *testing.T) {
	const token, body = "hvs.0123456789abcdef", `{"plaintext":"c2VjcmV0IGRhdGEga2V5"}`
	for text, want := range map[string]string{
		"":                                     "",
		"permission denied":                    "permission denied",
		"no such token: hvs.0123456789abcdef!": "no such token: …!",
		"hvs.0123456789":                       "…",
		"hvs.0123456":                          "hvs.0123456", // 11 bytes
		`bad "c2VjcmV0IGRhdGEga2V5", sent with hvs.0123456789abcdef`: `bad …, sent with …`,
		"ü hvs.0123456789abcdef ü":                                   "ü … ü",
	} {
		if got := WithoutEchoes(text, token, body, ""); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
