CREATE TABLE IF NOT EXISTS customers (
    id text PRIMARY KEY,
    name text NOT NULL,
    encrypted_kms_key text,
    email_ciphertext text,
    email_bidx text UNIQUE,
    phone_ciphertext text,
    born_on_ciphertext text
);

-- What happened to a customer, written in the same transaction.
CREATE TABLE IF NOT EXISTS events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id text NOT NULL,
    kind text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
