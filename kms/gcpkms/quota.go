package gcpkms

// What Google documents: a project makes 60,000 cryptographic requests a minute (https://cloud.google.com/kms/quotas), at 0.03 US
// dollars for 10,000 (https://cloud.google.com/kms/pricing).
const (
	quota = 60_000.0 / 60
	price = 0.03 / 10_000
)
