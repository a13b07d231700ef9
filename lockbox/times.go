package lockbox

import (
	"errors"
	"time"
)

const (
	dateLayout     = "2006-01-02"
	datetimeLayout = "2006-01-02T15:04:05.000000000Z"
	timeLayout     = "15:04:05.000000000"
)

type dateCodec struct{}

func (dateCodec) Append(dst []byte, v time.Time) ([]byte, error) {
	if err := checkYear(v); err != nil {
		return nil, err
	}
	return v.AppendFormat(dst, dateLayout), nil
}

func (dateCodec) Decode(b []byte) (time.Time, error) {
	v, err := time.Parse(dateLayout, string(b))
	if err != nil {
		return time.Time{}, errors.New("lockbox: not a date: want the form of " + dateLayout)
	}
	return v, nil
}

type datetimeCodec struct{}

func (datetimeCodec) Append(dst []byte, v time.Time) ([]byte, error) {
	v = v.UTC()
	if err := checkYear(v); err != nil {
		return nil, err
	}
	return v.AppendFormat(dst, datetimeLayout), nil
}

// Decode takes any number of decimals, and offsets too: Rails writes them when its default time zone is local.
func (datetimeCodec) Decode(b []byte) (time.Time, error) {
	v, err := time.Parse(time.RFC3339, string(b))
	if err != nil {
		return time.Time{}, errors.New("lockbox: not a datetime: want the form of " + datetimeLayout)
	}
	v = v.UTC() // an offset can lead out of the four-digit years
	if err := checkYear(v); err != nil {
		return time.Time{}, err
	}
	return v, nil
}

type timeCodec struct{}

func (timeCodec) Append(dst []byte, v time.Time) ([]byte, error) {
	return v.UTC().AppendFormat(dst, timeLayout), nil
}

func (timeCodec) Decode(b []byte) (time.Time, error) {
	v, err := time.Parse(time.TimeOnly, string(b))
	if err != nil {
		return time.Time{}, errors.New("lockbox: not a time: want the form of " + timeLayout)
	}
	return v.AddDate(2000, 0, 0), nil // Parse leaves the year 0, Active Record means 2000
}

func checkYear(v time.Time) error {
	if year := v.Year(); year < 0 || year > 9999 {
		return errors.New("lockbox: a date or datetime outside the years 0 to 9999 cannot be sealed")
	}
	return nil
}
