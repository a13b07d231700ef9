package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rowseal/rowseal"
)

// document is a customer as clients see one.
type document struct {
	ID     string  `json:"id"`
	Name   string  `json:"name"`
	Email  *string `json:"email"`
	Phone  *string `json:"phone"`
	BornOn *date   `json:"born_on"`
}

// documentOf shows an open customer.
func documentOf(c *Customer) (document, error) {
	email, err1 := c.Email.Ptr()
	phone, err2 := c.Phone.Ptr()
	bornOn, err3 := c.BornOn.Ptr()
	return document{c.ID, c.Name, email, phone, (*date)(bornOn)}, errors.Join(err1, err2, err3)
}

// patch is what clients send: what they leave out stays, and null removes a value.
type patch struct {
	Name   *string          `json:"name"`
	Email  optional[string] `json:"email"`
	Phone  optional[string] `json:"phone"`
	BornOn optional[date]   `json:"born_on"`
}

// read takes a patch from a request. What json and time say of a body may quote it, and is not passed on.
func (p *patch) read(r *http.Request) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 64<<10))
	d.DisallowUnknownFields()
	if d.Decode(p) != nil {
		return fmt.Errorf("%w: want JSON with name, email, phone and born_on (as in 1815-12-10)", errBadRequest)
	}
	return nil
}

func (p *patch) apply(c *Customer) error {
	if p.Name != nil {
		c.Name = *p.Name
	}
	set(&c.Email, p.Email.given, p.Email.value)
	set(&c.Phone, p.Phone.given, p.Phone.value)
	set(&c.BornOn, p.BornOn.given, (*time.Time)(p.BornOn.value))
	if c.Name == "" {
		return fmt.Errorf("%w: a customer has a name", errBadRequest)
	}
	return nil
}

func set[T any](field *rowseal.Sealed[T], given bool, value *T) {
	switch {
	case !given:
	case value == nil:
		field.SetNull()
	default:
		field.Set(*value)
	}
}

// optional tells null from what is not there.
type optional[T any] struct {
	given bool
	value *T
}

// UnmarshalJSON implements json.Unmarshaler.
func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.given = true
	return json.Unmarshal(b, &o.value)
}

// date is a day, as in 1815-12-10.
type date time.Time

// MarshalText implements encoding.TextMarshaler.
func (d date) MarshalText() ([]byte, error) {
	return time.Time(d).AppendFormat(nil, time.DateOnly), nil
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *date) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.DateOnly, string(text))
	*d = date(t)
	return err
}
