package azurekms

// What Azure documents: a vault takes 4,000 transactions with RSA keys of 2,048 bits in 10 seconds
// (https://learn.microsoft.com/azure/key-vault/general/service-limits), at about 0.03 US dollars for 10,000
// (https://azure.microsoft.com/pricing/details/key-vault/).
const (
	quota = 4_000.0 / 10
	price = 0.03 / 10_000
)
