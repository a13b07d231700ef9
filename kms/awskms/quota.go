package awskms

// What AWS documents: cryptographic operations with symmetric keys share 10,000 requests a second of an account where a region has no
// higher quota (https://docs.aws.amazon.com/kms/latest/developerguide/requests-per-second.html), at 0.03 US dollars for 10,000
// (https://aws.amazon.com/kms/pricing/).
const (
	quota = 10_000
	price = 0.03 / 10_000
)
