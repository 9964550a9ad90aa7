package main

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"bench/pb"
)

// links are connections: so many to the address that all share, and to each owner.
type links struct {
	lock   sync.Mutex
	count  int
	follow bool
	shared []pb.UploadServiceClient
	owners map[string][]pb.UploadServiceClient
}

func newLinks(l *load, address string) (*links, error) {
	shared, err := dial(address, l.Connections)
	owners := map[string][]pb.UploadServiceClient{address: shared}
	return &links{count: l.Connections, follow: l.Route != "shared", shared: shared, owners: owners}, err
}

// of gives those to the best of an upload's endpoints.
func (l *links) of(endpoints []string) ([]pb.UploadServiceClient, error) {
	if !l.follow || len(endpoints) == 0 {
		return l.shared, nil
	}
	l.lock.Lock()
	defer l.lock.Unlock()
	known, ok := l.owners[endpoints[0]]
	if ok {
		return known, nil
	}
	made, err := dial(endpoints[0], l.count)
	if err == nil {
		l.owners[endpoints[0]] = made
	}
	return made, err
}

// dial leaves everything as the library has it: what it sends has no limit by default.
func dial(address string, count int) ([]pb.UploadServiceClient, error) {
	var made []pb.UploadServiceClient
	for len(made) < count {
		connection, err := grpc.Dial(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, err
		}
		made = append(made, pb.NewUploadServiceClient(connection))
	}
	return made, nil
}
