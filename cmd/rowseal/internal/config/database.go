package config

import (
	"net/url"
	"strconv"
	"strings"

	"github.com/rowseal/rowseal/sqlseal"
)

// Database says where the rows are.
type Database struct {
	Dialect sqlseal.Dialect
	Path    string   // of SQLite's file
	URL     *url.URL // of a server; it has a password
}

// String is the database without user and password.
func (d Database) String() string {
	if d.URL == nil {
		return "sqlite:" + d.Path
	}
	host := d.URL.Host
	for _, name := range []string{"host", "socket"} {
		if socket := d.URL.Query().Get(name); host == "" && socket != "" {
			host = socket
		}
	}
	return d.URL.Scheme + "://" + host + "/" + d.Name()
}

// Name is the database's name on its server.
func (d Database) Name() string { return strings.TrimPrefix(d.URL.Path, "/") }

// dialects are the schemes of addresses.
var dialects = map[string]sqlseal.Dialect{
	"sqlite": sqlseal.SQLite, "postgres": sqlseal.PostgreSQL, "postgresql": sqlseal.PostgreSQL, "mysql": sqlseal.MySQL, "mariadb": sqlseal.MySQL,
}

// otherNames are what other programs call the same databases.
var otherNames = map[string]string{
	"sqlite": "sqlite", "postgres": "postgres", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mariadb", // in capitals
	"sqlite3": "sqlite", "file": "sqlite", "pg": "postgres", "pgx": "postgres", "psql": "postgres", "postgis": "postgres", "mysql2": "mysql", "trilogy": "mysql",
}

// readDatabase never repeats the address, in which there may be a password.
func (f *File) readDatabase(s section) {
	if !s.has("database") {
		if s.kind == mapping {
			s.fault(s.node, "the file needs a database, as in database: sqlite:users.sqlite3")
		}
		return
	}
	n := s.values["database"]
	address, ok := s.expand(n)
	if !ok {
		return
	}
	scheme, path, _ := strings.Cut(address, ":")
	dialect, known := dialects[scheme]
	switch {
	case !known && otherNames[strings.ToLower(scheme)] != "":
		s.fault(n, "%s: is unknown here; did you mean %s: ?", scheme, otherNames[strings.ToLower(scheme)])
	case !known:
		s.fault(n, "must be sqlite: and the path of the file, as in sqlite:users.sqlite3, or begin with postgres:// or mysql://")
	case dialect == sqlseal.SQLite && (path == "" || strings.HasPrefix(path, "//")):
		s.fault(n, "must be sqlite: and the path of the file, as in sqlite:users.sqlite3 or sqlite:/var/lib/app/users.sqlite3")
	case dialect == sqlseal.SQLite && path == ":memory:":
		s.fault(n, "a database in memory ends with the program, and has no rows; name a file")
	case dialect == sqlseal.SQLite:
		f.Database = Database{Dialect: dialect, Path: f.relative(path)}
	default:
		f.readServer(s, n, address, dialect)
	}
}

func (f *File) readServer(s section, n *node, address string, dialect sqlseal.Dialect) {
	scheme, rest, _ := strings.Cut(address, ":")
	form := scheme + "://user:password@host/database"
	u, err := url.Parse(address)
	switch {
	case !strings.HasPrefix(rest, "//"):
		s.fault(n, "must be of the form %s", form)
	case err != nil: // what the error says may be the password
		s.fault(n, "is no address of the form %s; in user and password, write @ as %%40, : as %%3A, / as %%2F, # as %%23, ? as %%3F and %% as %%25", form)
	default:
		if wrong := serverMistake(u, dialect); wrong != "" {
			s.fault(n, "%s", wrong)
			return
		}
		u.Path = "/" + strings.Trim(u.Path, "/")
		f.Database = Database{Dialect: dialect, URL: u}
	}
}

// serverMistake is what is wrong with an address, in words that have nothing of it.
func serverMistake(u *url.URL, dialect sqlseal.Dialect) prose {
	name := strings.Trim(u.Path, "/")
	options, err := url.ParseQuery(u.RawQuery)
	port, noPort := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case name == "":
		return "names no database; write it after the host, as in " + prose(u.Scheme) + "://user:password@host/database"
	case strings.Contains(name, "/"):
		return "has more than a database's name after the host, which must be of the form " + prose(u.Scheme) + "://user:password@host/database"
	case u.Fragment != "":
		return "has a #, which is written %23 in user and password"
	case err != nil:
		return "has options after the ? that cannot be read; write them as name=value&name=value, and % as %25"
	case options.Has("password"):
		return "has a password after the ?; write it before the host, as in " + prose(u.Scheme) + "://user:password@host/database"
	case u.Port() != "" && (noPort != nil || port == 0):
		return "has a port that is no number from 1 to 65535"
	case dialect == sqlseal.PostgreSQL:
		return ""
	case strings.Contains(u.Host, ","):
		return "names more than one host, which PostgreSQL's addresses may, and MySQL's may not"
	case u.Host == "" && options.Get("socket") == "":
		return "names no host; for a Unix socket, write mysql:///database?socket=/run/mysqld/mysqld.sock"
	case u.Host != "" && options.Get("socket") != "":
		return "names a host and a Unix socket; leave one of them out"
	}
	return ""
}
