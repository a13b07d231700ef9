CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    encrypted_kms_key TEXT,
    email_ciphertext TEXT,
    email_bidx TEXT UNIQUE,
    photo_ciphertext BLOB
);
