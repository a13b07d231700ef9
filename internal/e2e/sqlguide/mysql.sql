CREATE TABLE users (
    id bigint AUTO_INCREMENT PRIMARY KEY,
    name varchar(255) NOT NULL,
    encrypted_kms_key text,
    email_ciphertext text,
    email_bidx varchar(44) CHARACTER SET ascii COLLATE ascii_bin UNIQUE,
    photo_ciphertext longblob
);
