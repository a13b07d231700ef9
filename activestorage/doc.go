// Package activestorage opens, writes and rotates the attachments of a Rails app whose files the Ruby gem Lockbox
// encrypts (encrypts_attached :license, https://github.com/ankane/lockbox): the rows of Active Storage in the database,
// and the objects in a [store.Store]. Rails and Go can share them, both writing.
//
//	files, err := activestorage.New("local", store.Dir{Path: "storage"}, activestorage.PostgreSQL, nil)
//
//	found, err := files.Load(ctx, db, "User", 1, 2, 3)
//	license, ok := found.One(1, "license")
//	r, err := files.Open(ctx, license, box) // box, err := users.Box(ctx, &user, "license")
//
//	err = files.Update(ctx, db, func(tx *sql.Tx, change *activestorage.Change) error {
//		_, err := change.Replace(ctx, activestorage.Record{Type: "User", ID: 1}, "license", activestorage.File{
//			Reader: upload, Filename: "licence.pdf", ContentType: "application/pdf",
//		}, box)
//		return err
//	})
//
// # Format
//
// That of Active Storage 6.1 and later (https://github.com/rails/rails, activestorage), as Lockbox fills it (lockbox
// lib/lockbox/active_storage_extensions.rb and utils.rb):
//
//	object         what the [Box] makes of the file; with Lockbox's AES-GCM 28 bytes more than the file, not encoded
//	key            names the object: 28 random characters 0-9 and a-z; read is what store.CheckKey accepts
//	byte_size      of the object, not of the file
//	checksum       strict base64 of the MD5 of the object
//	filename       as given, in clear; [Blob.SafeFilename] is what Rails shows of it
//	content_type   as given, in clear
//	metadata       {"analyzed":true,"encrypted":true,"identified":true}, in clear
//	service_name   the Rails app's name of the store (config/storage.yml)
//	created_at     UTC, microseconds
//
// The object is authenticated by the box; the rows are not. So who can write to the database can rename a file, or
// exchange two files that are sealed under one key: those of a row, where its data key seals them, and those of a whole
// table under a derived key. Filenames, content types and sizes are there for all who can read the database.
//
// A file is held in memory whole, since nothing of it is delivered before its last byte has been checked, and so is
// what it is sealed to. Options.Limit says how large it may be.
//
// # Order of writes
//
// A file is never overwritten. A [Change] writes the new object under a new key, then rows in the caller's transaction,
// and deletes old objects once that is committed. Whatever fails or is killed in between, each row that the database
// then shows has its object; what may be left behind is an object that no row names, see [Storage.Unreferenced].
//
// The object is sealed under the data key that the row then has, because Attach, Replace and Reseal compare the key
// column with the box in the transaction, lock the row until its end (SELECT … FOR UPDATE, which takes the right to
// UPDATE; in SQLite the database), and store nothing where another key is there: ErrConflict. Two things are the
// caller's, in the same transaction: a first key is saved before files are attached under it, and the key to which
// Reseal has moved files is saved after it. Under a key that is derived from a master key there is nothing to compare.
//
// A reader that loaded rows before the commit may find the old object gone, which is store.ErrNotFound: it loads again.
//
// # Rotation
//
// [Change.ResealAll] gives attachments a new key, in the transaction that changes the row's data key, which the gem
// cannot do. Blobs keep their ids.
//
//	err = files.Update(ctx, db, func(tx *sql.Tx, change *activestorage.Change) error {
//		err := users.RekeyWith(ctx, &user, func(name string, from, to *rowseal.FileBox) error {
//			return change.ResealAll(ctx, activestorage.Record{Type: "User", ID: user.ID}, name, from, to)
//		})
//		if err != nil {
//			return err
//		}
//		return saveKey(ctx, tx, &user) // UPDATE users SET encrypted_kms_key = … as long as it is user.EncryptedKMSKey.Stored()
//	})
//	if err == nil {
//		err = users.Committed(ctx, &user)
//	}
//
// # Moving from plain files
//
// Options.Migrating is the gem's `migrating: true`: files that Rails stored before they were encrypted are read as they
// are, and Reseal encrypts them. It costs a guarantee, see there. Of plain files Rails makes variants and previews, which
// go with them; that needs the table active_storage_variant_records. What Rails before 6.1, or without tracked variants,
// keeps in the store under variants/ has no row, and stays.
//
// # Databases
//
// The tests run on SQLite (modernc.org/sqlite 1.61), PostgreSQL 15 (github.com/jackc/pgx/v5 5.12) and MariaDB 10.11
// (github.com/go-sql-driver/mysql 1.10), the last two with the foreign keys that Rails makes. Of two transactions that
// attach and rekey at the same time, one waits for the other there, and no file is lost. On MySQL itself nothing was tried.
//
// # FIPS 140-3
//
// The package works under GODEBUG=fips140=only. MD5 is no security function here: it is the checksum that Rails
// compares, to notice a damaged disk or transfer, and the box authenticates the object anyway.
package activestorage
