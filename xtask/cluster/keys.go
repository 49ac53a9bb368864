package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// A client of the API server: what its certificate says is who it is.
type client struct {
	file, name, group string
}

// writeKeys makes what the parts of one cluster know each other by, in a directory: the authority (ca.crt), the API
// server's certificate and key, the key that service accounts' tokens are signed with, a certificate for the API
// server as the kubelet's client, and a kubeconfig for each other client. The authority's own key is not kept.
func writeKeys(arguments []string) error {
	flags := flag.NewFlagSet("keys", flag.ExitOnError)
	directory := flags.String("directory", "", "where to write; it is there and empty")
	server := flags.String("server", "", "the URL of the API server")
	addresses := flags.String("addresses", "", "the API server's IP addresses, with commas between")
	node := flags.String("node", "", "the name of the node")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	authority, err := newAuthority(*directory)
	if err != nil {
		return err
	}
	clients := []client{
		{"admin", "admin", "system:masters"},
		{"scheduler", "system:kube-scheduler", ""},
		{"kubelet", "system:node:" + *node, "system:nodes"},
	}
	for _, client := range clients {
		err = errors.Join(err, authority.writeKubeconfig(client, *server))
	}
	return errors.Join(err,
		authority.writeServer(*addresses),
		authority.writePair("kubelet-client", subject("kube-apiserver", "system:masters")),
		authority.writeAccountsKey())
}

// An authority signs certificates and writes into its directory.
type authority struct {
	directory   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

func newAuthority(directory string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	own := subject("becket test cluster", "")
	own.IsCA, own.BasicConstraintsValid = true, true
	own.KeyUsage |= x509.KeyUsageCertSign
	signed, err := x509.CreateCertificate(rand.Reader, own, own, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(signed)
	if err != nil {
		return nil, err
	}
	a := &authority{directory, certificate, key}
	return a, a.write("ca.crt", a.pem())
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.certificate.Raw})
}

// issue gives a certificate and its key, both in PEM.
func (a *authority) issue(wanted *x509.Certificate) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	signed, err := x509.CreateCertificate(rand.Reader, wanted, a.certificate, private.Public(), a.key)
	if err != nil {
		return nil, nil, err
	}
	key, err = keyPEM(private)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed}), key, err
}

func (a *authority) writePair(name string, wanted *x509.Certificate) error {
	certificate, key, err := a.issue(wanted)
	if err != nil {
		return err
	}
	return errors.Join(a.write(name+".crt", certificate), a.write(name+".key", key))
}

func (a *authority) writeServer(addresses string) error {
	wanted := subject("kube-apiserver", "")
	wanted.DNSNames = []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	for _, text := range strings.Split(addresses, ",") {
		address := net.ParseIP(text)
		if address == nil {
			return fmt.Errorf("`%s` is no IP address", text)
		}
		wanted.IPAddresses = append(wanted.IPAddresses, address)
	}
	return a.writePair("apiserver", wanted)
}

func (a *authority) writeAccountsKey() error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	key, err := keyPEM(private)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		return err
	}
	shown := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	return errors.Join(a.write("accounts.key", key), a.write("accounts.pub", shown))
}

func (a *authority) writeKubeconfig(client client, server string) error {
	certificate, key, err := a.issue(subject(client.name, client.group))
	if err != nil {
		return err
	}
	config := clientcmdapi.NewConfig()
	config.Clusters["becket"] = &clientcmdapi.Cluster{Server: server, CertificateAuthorityData: a.pem()}
	config.AuthInfos[client.file] = &clientcmdapi.AuthInfo{ClientCertificateData: certificate, ClientKeyData: key}
	config.Contexts["becket"] = &clientcmdapi.Context{Cluster: "becket", AuthInfo: client.file}
	config.CurrentContext = "becket"
	return clientcmd.WriteToFile(*config, filepath.Join(a.directory, client.file+".kubeconfig"))
}

func (a *authority) write(name string, data []byte) error {
	return os.WriteFile(filepath.Join(a.directory, name), data, 0o600)
}

// subject is the template of a certificate that serves on both sides of a connection. It is good for ten days: no
// cluster of this kind lives longer. An hour before now is for clocks that are set back.
func subject(name, group string) *x509.Certificate {
	who := pkix.Name{CommonName: name}
	if group != "" {
		who.Organization = []string{group}
	}
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      who,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(0, 0, 10),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
}

func keyPEM(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), err
}
