// Package attrencrypted seals and opens values in the formats of the Ruby gem attr_encrypted
// (https://github.com/attr-encrypted/attr_encrypted), 1.x to 4.x, and of the gem encryptor under it
// (https://github.com/attr-encrypted/encryptor), so that Ruby and Go read and write the same columns.
//
// # Values
//
// A [Value] is what the columns of one attribute hold: encrypted_ssn, and, as the [Mode] has it, encrypted_ssn_iv and
// encrypted_ssn_salt. A [Box] holds the key and the [Options] of one attribute. The zero Options are the gem's defaults
// since 2.0: a key of 32 bytes, AES-256-GCM (NIST SP 800-38D), a random IV of 12 bytes in a column of its own, and in the
// first column the ciphertext, which is as long as the plaintext, and a tag of 16 bytes; each column in base64 of 60
// columns a line. One key must seal at most 2³² values (§8.3 there), which a key per row never reaches.
//
// GCM authenticates the plaintext and the IV. Nothing binds a value to its row or column: that takes a key of its own.
// The spelling of the base64 is not authenticated, and is read as leniently as Ruby reads it.
//
// # Keys
//
// The columns that a value has tell how its AES key comes from the key of the box:
//
//	IV            the key as it is, cut to the algorithm's length          PerAttributeIV
//	IV and salt   PBKDF2-HMAC-SHA1(key, salt), 2,000 iterations            PerAttributeIVAndSalt
//	neither       EVP_BytesToKey(MD5, key, no salt), 2,048 iterations;     SingleIVAndSalt
//	              the bytes that follow the AES key are the IV
//
// PBKDF2 runs once for each value that is sealed or opened. The MD5 key is derived once, by [New].
//
// Applications of 1.x that follow the gem's own tests make the key by Encryptor.encrypt(value: SALT, key: PASSWORD). Here
// that is the Ciphertext of a box under PASSWORD in the same mode and algorithm, with Encode Raw.
//
// # Older and weaker forms
//
// [Box.Decrypt] tells the [Form] that it found, and [Form.Insecure] whether to report it. Two kinds are read only where
// the Options say so. Nothing authenticates AES-CBC (AllowCBC): a wrong key, IV or byte may open to garbage, and whoever
// can write to the column and see whether a value opens can decrypt it. And encryptor 2.0 ignored the IV of GCM
// (AllowIgnoredIV): all its values under one key share one key stream. [Detect] tells without a key what a value may be.
//
// # Marshalling
//
// The plaintext is text, or JSON ([MarshalJSON]). What Ruby's own Marshal wrote is refused with [ErrRubyMarshal] and the
// name of its type.
//
// # FIPS 140-3
//
// Under GODEBUG=fips140=only, New refuses PerAttributeIVAndSalt (SHA-1), SingleIVAndSalt (MD5) and AllowIgnoredIV with
// [ErrNotFIPS]; the rest works.
package attrencrypted
