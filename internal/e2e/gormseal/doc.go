// Package gormseal tests rowseal's GORM plugin on real databases.
package gormseal
