package attrencrypted

// Detect tells, without a key, which forms a value may have: by the columns that are there and by their lengths. Of opts,
// only the encodings count; nil is the gem's. Authenticated forms come first. No form at all means that nothing of the
// gem's looks so. [Box.Detect] tells which it is.
//
// An IV of 12 bytes is GCM's, one of 16 CBC's; but GCM takes longer ones, too. Without an IV the value is Single. A
// ciphertext of CBC is a multiple of 16 bytes.
func Detect(v Value, opts *Options) []Form {
	if v.Ciphertext == "" {
		return []Form{Empty}
	}
	if opts == nil {
		opts = &Options{}
	}
	p := opts.decode(v)
	rule := p.rule()
	var forms []Form
	for _, form := range kinds {
		if form |= rule; p.mayBe(form) {
			forms = append(forms, form)
		}
	}
	return forms
}
