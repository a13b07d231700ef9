package lockbox

import (
	"errors"
	"net"
	"net/netip"
)

// inetLen is 1 byte family, 1 byte prefix length and 16 bytes address, PostgreSQL's form with IPv4 padded (lockbox
// lib/lockbox/model.rb).
const inetLen = 18

const (
	familyIPv4 = 0
	familyIPv6 = 1
)

var (
	errInet    = errors.New("lockbox: not an inet: want 18 bytes, 0 or 1 for the family, a prefix length, and an address")
	errNetwork = errors.New("lockbox: the inet is a network, which one address cannot hold: read it as a netip.Prefix")
)

type prefixCodec struct{}

func (prefixCodec) Append(dst []byte, v netip.Prefix) ([]byte, error) {
	if !v.IsValid() {
		return nil, errors.New("lockbox: an invalid address or prefix length cannot be sealed")
	}
	v = v.Masked()
	if v.Addr().Is4() {
		dst = append(dst, familyIPv4, byte(v.Bits()))
		dst = append(dst, v.Addr().AsSlice()...)
		return append(dst, make([]byte, 12)...), nil
	}
	dst = append(dst, familyIPv6, byte(v.Bits()))
	return append(dst, v.Addr().AsSlice()...), nil
}

func (prefixCodec) Decode(b []byte) (netip.Prefix, error) {
	if len(b) != inetLen {
		return netip.Prefix{}, errInet
	}
	addr := netip.AddrFrom16([16]byte(b[2:]))
	switch b[0] {
	case familyIPv4:
		addr = netip.AddrFrom4([4]byte(b[2:]))
		if [12]byte(b[6:]) != [12]byte{} {
			return netip.Prefix{}, errInet
		}
	case familyIPv6:
	default:
		return netip.Prefix{}, errInet
	}
	v, err := addr.Prefix(int(b[1]))
	if err != nil {
		return netip.Prefix{}, errInet
	}
	return v, nil
}

type addrCodec struct{}

func (addrCodec) Append(dst []byte, v netip.Addr) ([]byte, error) {
	if v.Zone() != "" {
		return nil, errors.New("lockbox: an address with a zone cannot be sealed: use its WithZone(\"\")")
	}
	return prefixCodec{}.Append(dst, netip.PrefixFrom(v, v.BitLen()))
}

func (addrCodec) Decode(b []byte) (netip.Addr, error) {
	v, err := prefixCodec{}.Decode(b)
	if err == nil && !v.IsSingleIP() {
		err = errNetwork
	}
	if err != nil {
		return netip.Addr{}, err
	}
	return v.Addr(), nil
}

// ipCodec takes an IPv4 address in either of its forms, and reads it in that of 4 bytes. What a net.IP cannot say is an IPv6
// address that maps an IPv4 one: that is written as IPv4.
type ipCodec struct{}

func (ipCodec) Append(dst []byte, v net.IP) ([]byte, error) {
	addr, _ := netip.AddrFromSlice(v)
	return addrCodec{}.Append(dst, addr.Unmap())
}

func (ipCodec) Decode(b []byte) (net.IP, error) {
	v, err := addrCodec{}.Decode(b)
	if err != nil {
		return nil, err
	}
	return v.AsSlice(), nil
}

type ipNetCodec struct{}

func (ipNetCodec) Append(dst []byte, v net.IPNet) ([]byte, error) {
	addr, _ := netip.AddrFromSlice(v.IP)
	ones, bits := v.Mask.Size()
	if bits == 8*net.IPv4len {
		addr = addr.Unmap()
	}
	if addr.BitLen() != bits {
		return nil, errors.New("lockbox: a net.IPNet whose address and mask do not fit together cannot be sealed")
	}
	return prefixCodec{}.Append(dst, netip.PrefixFrom(addr, ones))
}

func (ipNetCodec) Decode(b []byte) (net.IPNet, error) {
	v, err := prefixCodec{}.Decode(b)
	if err != nil {
		return net.IPNet{}, err
	}
	return net.IPNet{IP: v.Addr().AsSlice(), Mask: net.CIDRMask(v.Bits(), v.Addr().BitLen())}, nil
}
