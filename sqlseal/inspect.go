package sqlseal

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

// TableColumns lists the columns of a table as they are in the database, none if there is no such table; see
// rowseal.Database.
func (db *DB) TableColumns(ctx context.Context, table string) ([]rowseal.TableColumn, error) {
	if err := db.check(); err != nil {
		return nil, err
	}
	switch db.Dialect {
	case PostgreSQL:
		return db.columnsOfPostgreSQL(ctx, table)
	case MySQL:
		return db.columnsOfMySQL(ctx, table)
	}
	return db.columnsOfSQLite(ctx, table)
}

func (db *DB) columnsOfPostgreSQL(ctx context.Context, table string) (all []rowseal.TableColumn, err error) {
	// A domain is what it is made of. A primary key INCLUDEs columns that are none of its own. PostgreSQL's collations compare
	// bytewise but for those that say that they do not.
	const query = `SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), COALESCE(b.typname, t.typname)::text, t.typcategory::text,
			CASE WHEN b.oid IS NULL THEN a.atttypmod ELSE t.typtypmod END, NOT (a.attnotnull OR t.typnotnull),
			COALESCE(a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]), false), COALESCE(c.collisdeterministic, true), a.attgenerated <> '',
			has_column_privilege(a.attrelid, a.attnum, 'SELECT'), has_column_privilege(a.attrelid, a.attnum, 'INSERT, UPDATE')
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		LEFT JOIN pg_type b ON b.oid = t.typbasetype AND t.typtype = 'd'
		LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
		LEFT JOIN pg_collation c ON c.oid = a.attcollation
		WHERE a.attrelid = to_regclass($1::text) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`
	err = db.conn.query(ctx, statement{query, []any{PostgreSQL.Quote(table)}}, func(scan func(...any) error) error {
		var c rowseal.TableColumn
		var typ, category string
		var modifier int
		var deterministic, read, write bool
		if err := scan(&c.Name, &c.Type, &typ, &category, &modifier, &c.Nullable, &c.PrimaryKey, &deterministic, &c.Generated, &read, &write); err != nil {
			return err
		}
		switch {
		case typ == "bytea":
			c.Kind = rowseal.BytesColumn
		case category == "S":
			c.Kind = rowseal.TextColumn
		}
		const header = 4 // of a varchar, counted in its atttypmod
		switch {
		case (typ == "varchar" || typ == "bpchar") && modifier > header:
			c.Size, c.Fixed = modifier-header, typ == "bpchar"
		case typ == "name":
			c.Size = 63 // NAMEDATALEN - 1
		}
		c.Bytewise, c.Unreadable, c.Unwritable = deterministic && typ != "citext", !read, !write
		all = append(all, c)
		return nil
	})
	return all, err
}

func (db *DB) columnsOfMySQL(ctx context.Context, table string) (all []rowseal.TableColumn, err error) {
	// A longtext's length, 4 GiB, is no int everywhere.
	const query = `SELECT column_name, column_type, data_type, LEAST(COALESCE(character_maximum_length, 0), 2147483647), is_nullable = 'YES',
			column_key = 'PRI', COALESCE(collation_name, 'binary'), COALESCE(generation_expression, '') <> '', LOWER(privileges), @@sql_mode NOT LIKE '%STRICT\_%',
			extra LIKE '%on update%'
		FROM information_schema.columns WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? ORDER BY ordinal_position`
	schema, name := splitTable(table)
	err = db.conn.query(ctx, statement{query, []any{schema, name}}, func(scan func(...any) error) error {
		c := rowseal.TableColumn{AnyCase: true}
		var typ, collation, rights string
		if err := scan(&c.Name, &c.Type, &typ, &c.Size, &c.Nullable, &c.PrimaryKey, &collation, &c.Generated, &rights, &c.Cuts, &c.OnUpdate); err != nil {
			return err
		}
		switch typ = strings.ToLower(typ); {
		case strings.HasSuffix(typ, "blob"), strings.HasSuffix(typ, "binary"):
			c.Kind = rowseal.BytesColumn
		case strings.HasSuffix(typ, "text"), strings.HasSuffix(typ, "char"):
			c.Kind = rowseal.TextColumn
		}
		if c.Size > 1<<30 {
			c.Size = 0
		}
		c.Fixed = typ == "binary" // of a char, the blanks are taken off when it is read
		c.Bytewise = strings.HasSuffix(collation, "_bin") || collation == "binary"
		may := func(right string) bool { return slices.Contains(strings.Split(rights, ","), right) }
		c.Unreadable, c.Unwritable = !may("select"), !may("insert") && !may("update")
		all = append(all, c)
		return nil
	})
	return all, err
}

// columnsOfSQLite knows no sizes, which SQLite does not keep to. Columns with the affinities TEXT and BLOB store text and bytes
// as they are (https://www.sqlite.org/datatype3.html).
func (db *DB) columnsOfSQLite(ctx context.Context, table string) (all []rowseal.TableColumn, err error) {
	const query = `SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?, ?)`
	const virtual, stored = 2, 3 // hidden, of a generated column
	schema, name := splitTable(table)
	err = db.conn.query(ctx, statement{query, []any{name, schema}}, func(scan func(...any) error) error {
		c := rowseal.TableColumn{AnyCase: true}
		var notNull, primary, hidden int
		if err := scan(&c.Name, &c.Type, &notNull, &primary, &hidden); err != nil {
			return err
		}
		switch typ := strings.ToUpper(c.Type); {
		case strings.Contains(typ, "INT"):
		case strings.Contains(typ, "CHAR"), strings.Contains(typ, "CLOB"), strings.Contains(typ, "TEXT"), strings.Contains(typ, "BLOB"), typ == "":
			c.Kind = rowseal.AnyColumn
		}
		c.Nullable, c.PrimaryKey, c.Generated = notNull == 0, primary > 0, hidden == virtual || hidden == stored
		all = append(all, c)
		return nil
	})
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all, db.collationsOfSQLite(ctx, table, all)
}

// collationsOfSQLite tells which columns compare bytewise. No catalogue has a column's collation, so each is tried with two
// letters: a compound SELECT compares by the collation of its first column.
func (db *DB) collationsOfSQLite(ctx context.Context, table string, columns []rowseal.TableColumn) error {
	b := &builder{Dialect: SQLite}
	b.write("SELECT ")
	found := make([]any, len(columns))
	for i, c := range columns {
		if found[i] = &columns[i].Bytewise; i > 0 {
			b.write(", ")
		}
		b.write("(SELECT c <> 'A' FROM (SELECT ", b.Quote(c.Name), " AS c FROM ", b.Quote(table), " WHERE 0 UNION ALL SELECT 'a'))")
	}
	_, err := db.one(ctx, b.statement(), found...)
	return err
}

// Tables lists the tables and views that this user of the database sees, as schema.table; see rowseal.Database.
func (db *DB) Tables(ctx context.Context) (all []string, err error) {
	if err := db.check(); err != nil {
		return nil, err
	}
	query := map[Dialect]string{
		PostgreSQL: `SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema')
			AND has_schema_privilege(n.oid, 'USAGE') ORDER BY 1`,
		MySQL: `SELECT CONCAT(table_schema, '.', table_name) FROM information_schema.tables
			WHERE table_schema NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys') ORDER BY 1`,
		SQLite: `SELECT schema || '.' || name FROM pragma_table_list WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY 1`,
	}[db.Dialect]
	err = db.conn.query(ctx, statement{SQL: query}, func(scan func(...any) error) error {
		var table string
		err := scan(&table)
		all = append(all, table)
		return err
	})
	return all, err
}

// onlyUnique refuses a table that has another unique index than that of the target: ON DUPLICATE KEY takes any of them.
func (db *DB) onlyUnique(ctx context.Context, table string, target []string) error {
	const query = `SELECT index_name, column_name FROM information_schema.statistics
		WHERE table_schema = COALESCE(?, DATABASE()) AND table_name = ? AND non_unique = 0 ORDER BY index_name, seq_in_index`
	schema, name := splitTable(table)
	indexes := map[string][]string{}
	err := db.conn.query(ctx, statement{query, []any{schema, name}}, func(scan func(...any) error) error {
		var index, column string
		err := scan(&index, &column)
		indexes[index] = append(indexes[index], column)
		return err
	})
	if err != nil {
		return err
	}
	for index, columns := range indexes {
		if slices.ContainsFunc(target, func(c string) bool { return !slices.Contains(columns, c) }) || len(columns) != len(target) {
			return fmt.Errorf("sqlseal: %s has the unique index %s (%s) too, and an upsert of MySQL and MariaDB would replace the data key of a row "+
				"that is the same only by that; load the row and Update it: %w", table, index, strings.Join(columns, ", "), kms.ErrInvalidRequest)
		}
	}
	return nil
}

// assign gives a struct's field an id that the driver returned by itself.
func assign(pointer any, id int64) error {
	if scanner, ok := pointer.(interface{ Scan(src any) error }); ok {
		return scanner.Scan(id)
	}
	field := reflect.ValueOf(pointer).Elem()
	if field.Kind() == reflect.Pointer {
		field.Set(reflect.New(field.Type().Elem()))
		field = field.Elem()
	}
	switch {
	case field.CanInt() && !field.OverflowInt(id):
		field.SetInt(id)
	case field.CanUint() && id >= 0 && !field.OverflowUint(uint64(id)):
		field.SetUint(uint64(id))
	default:
		return fmt.Errorf("sqlseal: the database has given the id %d, which a %s does not hold: %w", id, field.Type(), kms.ErrInvalidRequest)
	}
	return nil
}
