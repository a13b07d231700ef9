package main

import (
	"errors"
	"log/slog"
	"net/http"

	"github.com/rowseal/rowseal"
	"github.com/rowseal/rowseal/kms"
)

var (
	errBadRequest = errors.New("bad request")
	errNotFound   = errors.New("there is no such customer")
	errEmailTaken = errors.New("another customer has this e-mail address")
)

type problem struct {
	Error string `json:"error"`
}

// problemOf is what a client is told of an error: nothing of the inside, which is for the log. Errors of rowseal and of the
// database's constraints name rows and columns, and no values.
func problemOf(r *http.Request, err error) (status int, body problem) {
	switch {
	case errors.Is(err, errBadRequest):
		return http.StatusBadRequest, problem{err.Error()}
	case errors.Is(err, errNotFound):
		return http.StatusNotFound, problem{err.Error()}
	case errors.Is(err, errEmailTaken):
		return http.StatusConflict, problem{err.Error()}
	case errors.Is(err, rowseal.ErrConflict):
		return http.StatusConflict, problem{"somebody else has changed the customer; try again"}
	}
	slog.ErrorContext(r.Context(), "request failed", "pattern", r.Pattern, "err", err)
	switch {
	case errors.Is(err, kms.ErrBudget): // a new data key of others: writing on top of it takes the KMS, in a transaction
		return http.StatusConflict, problem{"somebody else has changed the customer; try again"}
	case errors.Is(err, kms.ErrUnavailable), errors.Is(err, kms.ErrThrottled):
		return http.StatusServiceUnavailable, problem{"try again later"}
	}
	return http.StatusInternalServerError, problem{"this did not work"}
}
