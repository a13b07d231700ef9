CREATE TABLE applications (
    id text PRIMARY KEY,
    received_at timestamptz NOT NULL,
    encrypted_kms_key text,
    name_ciphertext text,
    email_ciphertext text,
    statement_ciphertext text
);

-- Each program has a user of its own, with as few rights in the database as at the KMS.
CREATE ROLE intake LOGIN;
GRANT SELECT, INSERT, UPDATE ON applications TO intake; -- SELECT, to compare what an UPDATE replaces; it reads ciphertexts

CREATE ROLE backoffice LOGIN;
GRANT SELECT ON applications TO backoffice;
