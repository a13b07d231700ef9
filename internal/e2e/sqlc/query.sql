-- name: NewUserID :one
SELECT nextval(pg_get_serial_sequence('users', 'id'))::bigint AS id;

-- name: InsertUser :exec
INSERT INTO users (id, name, encrypted_kms_key, email_ciphertext, email_bidx, born_on_ciphertext, photo_ciphertext)
VALUES ($1, $2, $3, $4, $5, $6, $7);

-- name: UserByID :one
SELECT * FROM users WHERE id = $1;

-- name: UserByEmail :one
SELECT * FROM users WHERE email_bidx = $1;

-- name: SetEmail :execrows
UPDATE users SET email_ciphertext = @email, email_bidx = @email_index
WHERE id = @id AND encrypted_kms_key = @encrypted_kms_key;
