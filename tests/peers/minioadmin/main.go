// Command minioadmin makes buckets, users and policies in a MinIO of the tests, with MinIO's own client libraries: its administration
// requests are encrypted and cannot be made by hand.
//
//	minioadmin ENDPOINT bucket NAME          create a bucket
//	minioadmin ENDPOINT user NAME SECRET     create a user, or change the secret
//	minioadmin ENDPOINT policy USER FILE     give a user exactly the policy of a JSON file, named as the user
//	minioadmin 127.0.0.1 certificate DIR     write a CA (ca.crt), and a certificate for that address by it (public.crt, private.key)
//
// MINIO_ROOT_USER and MINIO_ROOT_PASSWORD name who asks. It must never be pointed at a server that is not the test's own.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "minioadmin:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) < 3 {
		return fmt.Errorf("usage: minioadmin ENDPOINT (bucket NAME | user NAME SECRET | policy USER FILE | certificate DIR)")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	user, secret := os.Getenv("MINIO_ROOT_USER"), os.Getenv("MINIO_ROOT_PASSWORD")
	if args[1] == "bucket" {
		client, err := minio.New(args[0], &minio.Options{Creds: credentials.NewStaticV4(user, secret, "")})
		if err != nil {
			return err
		}
		return client.MakeBucket(ctx, args[2], minio.MakeBucketOptions{})
	}
	if args[1] == "certificate" {
		return certificate(net.ParseIP(args[0]), args[2])
	}
	admin, err := madmin.New(args[0], user, secret, false)
	if err != nil {
		return err
	}
	if len(args) != 4 {
		return fmt.Errorf("`%s` takes two arguments", args[1])
	}
	switch args[1] {
	case "user":
		return admin.AddUser(ctx, args[2], args[3])
	case "policy":
		policy, err := os.ReadFile(args[3])
		if err != nil {
			return err
		}
		if err := admin.AddCannedPolicy(ctx, args[2], policy); err != nil {
			return err
		}
		// Attaching what is attached is refused; the policy of that name has just been replaced all the same.
		_, err = admin.AttachPolicy(ctx, madmin.PolicyAssociationReq{Policies: []string{args[2]}, User: args[2]})
		if madmin.ToErrorResponse(err).Code == "XMinioAdminPolicyChangeAlreadyApplied" {
			return nil
		}
		return err
	default:
		return fmt.Errorf("no command `%s`", args[1])
	}
}

func certificate(address net.IP, directory string) error {
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of a test"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "server of a test"}, IPAddresses: []net.IP{address},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	serverKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	authorityBytes, err := x509.CreateCertificate(rand.Reader, authority, authority, &authorityKey.PublicKey, authorityKey)
	if err != nil {
		return err
	}
	serverBytes, err := x509.CreateCertificate(rand.Reader, server, authority, &serverKey.PublicKey, authorityKey)
	if err != nil {
		return err
	}
	keyBytes, err := x509.MarshalPKCS8PrivateKey(serverKey)
	if err != nil {
		return err
	}
	files := map[string]pem.Block{
		"ca.crt":      {Type: "CERTIFICATE", Bytes: authorityBytes},
		"public.crt":  {Type: "CERTIFICATE", Bytes: serverBytes},
		"private.key": {Type: "PRIVATE KEY", Bytes: keyBytes},
	}
	for name, block := range files {
		if err := os.WriteFile(filepath.Join(directory, name), pem.EncodeToMemory(&block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
