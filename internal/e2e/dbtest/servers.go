package dbtest

import "fmt"

// postgreSQL would leave a piece of System V shared memory behind if it were killed; QUIT is its order to end at once.
var postgreSQL = server{
	name:    "PostgreSQL",
	driver:  "pgx",
	install: "postgresql",
	prepare: program{"initdb", func(dir string) []string {
		return []string{"--pgdata=" + dir + "/data", "--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"}
	}},
	serve: program{"postgres", func(dir string) []string {
		return []string{"-D", dir + "/data", "-k", dir, "-p", postgresPort, "-c", "listen_addresses=",
			"-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off", "-c", "autovacuum=off",
			"-c", "shared_buffers=16MB", "-c", "dynamic_shared_memory_type=mmap"}
	}},
	dsn: func(dir, database string) string {
		return fmt.Sprintf("postgres://postgres@/%s?host=%s&port=%s", database, dir, postgresPort)
	},
	socket: ".s.PGSQL." + postgresPort,
	home:   "postgres",
	drop:   "DROP DATABASE %s WITH (FORCE)",
	end:    "QUIT",
}

const postgresPort = "5432" // no more than a part of the socket's name

var mariaDB = server{
	name:    "MariaDB",
	driver:  "mysql",
	install: "mariadb-server-core and mariadb-client-core",
	prepare: program{"mariadb-install-db", func(dir string) []string {
		return append([]string{"--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"}, mariaDBOptions(dir)...)
	}},
	serve: program{"mariadbd", func(dir string) []string {
		return append([]string{"--no-defaults", "--skip-networking", "--socket=" + dir + "/" + mariaDBSocket, "--pid-file=" + dir + "/pid",
			"--lock-wait-timeout=30"}, mariaDBOptions(dir)...) // s, of a DROP for others' transactions; else a day
	}},
	dsn: func(dir, database string) string {
		return fmt.Sprintf("root@unix(%s/%s)/%s?parseTime=true", dir, mariaDBSocket, database)
	},
	socket: mariaDBSocket,
	home:   "mysql",
	drop:   "DROP DATABASE %s",
	end:    "KILL",
}

const mariaDBSocket = "socket"

// mariaDBOptions has the character set and the collation of Debian's mariadb.conf.d/50-server.cnf.
func mariaDBOptions(dir string) []string {
	return []string{"--datadir=" + dir + "/data", "--tmpdir=" + dir,
		"--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci",
		"--innodb-buffer-pool-size=32M", "--innodb-log-file-size=16M",
		"--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite"}
}
