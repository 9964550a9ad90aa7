// Uploads a file to Sluice: upload HOST:PORT FILE [CHUNK_BYTES]
//
// Whatever is killed, this or the server: run it again, and it sends what is missing.
package main

import (
	"context"
	"fmt"
	"log"
	"math/rand"
	"os"
	"strconv"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"upload/pb"
)

func main() {
	rand.Seed(time.Now().UnixNano())
	chunkBytes := int64(8 << 20)
	if len(os.Args) > 3 {
		var err error
		if chunkBytes, err = strconv.ParseInt(os.Args[3], 10, 64); err != nil {
			log.Fatal(err)
		}
	}
	plain := grpc.WithTransportCredentials(insecure.NewCredentials())
	connection, err := grpc.Dial(os.Args[1], plain)
	if err != nil {
		log.Fatal(err)
	}
	defer connection.Close()
	id, err := upload(context.Background(), pb.NewUploadServiceClient(connection), os.Args[2], chunkBytes)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("stored", id)
}
